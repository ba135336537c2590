#include "norm/moments.h"

#include <vector>

#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "norm/rows.h"

namespace fastconv {
namespace {

constexpr index_t kMostSlices = 64;

// Two numbers per column, of every task and sample.
struct Partial {
    Buffer buffer;
    double *first, *second;
    index_t columns, tasks;

    Partial(index_t samples, const JoinedRows& rows) : columns(rows.columns), tasks(rows.tasks) {
        const index_t size = samples * tasks * columns;
        first = carve_buffer(buffer, [&](Arena& arena) { return arena.take<double>(2 * size); });
        second = first + size;
    }

    index_t at(index_t sample, index_t task) const { return (sample * tasks + task) * columns; }
};

// Calls visit(sample, task) for every task, in parallel.
template <class Visit>
void for_each_task(const ChannelGeometry& g, const JoinedRows& rows, double work_per_value, const Visit& visit) {
    const double values = static_cast<double>(g.samples) * static_cast<double>(g.sample_size());
    const index_t tasks = g.samples * rows.tasks;
    parallel_for(tasks, worthwhile_threads(work_per_value * values, tasks),
                 [&](index_t task, int) { visit(task / rows.tasks, task % rows.tasks); });
}

// Calls visit(column, group, channel) for the columns of whole pixels side by side.
template <class Visit>
void for_each_column(const ChannelGeometry& g, index_t columns, const Visit& visit) {
    const index_t per_group = g.channels_per_group();
    for (index_t pixel = 0; pixel < columns; pixel += g.channels)
        for (index_t group = 0; group < g.groups; ++group)
            for (index_t c = group * per_group; c < (group + 1) * per_group; ++c) visit(pixel + c, group, c);
}

template <class T>
const T* of_sample(const T* values, index_t sample, const JoinedRows& rows) {
    return values == nullptr ? nullptr : values + sample * rows.columns;
}

}  // namespace

void Moments::join(const Moments& other) {
    if (count == 0) {
        *this = other;
        return;
    }
    const double all = count + other.count, share = other.count / all, delta = other.mean - mean;
    mean += delta * share;
    squares += other.squares + delta * delta * (count * share);
    count = all;
}

template <class T>
void channel_moments(const ChannelGeometry& g, const T* input, double* mean, double* variance) {
    const JoinedRows rows(g.pixels, g.channels, kMostSlices);
    const Partial partial(g.samples, rows);
    const auto moments_of = [&](index_t sample, index_t task) {
        const index_t at = partial.at(sample, task);
        const index_t first = task * rows.rows_per_task, count = std::min(rows.rows_per_task, rows.rows - first);
        const T* values = input + sample * g.sample_size() + first * rows.columns;
        element_kernels<T>().moments({values, count, rows.columns}, partial.first + at, partial.second + at);
    };
    for_each_task(g, rows, 6.0, moments_of);

    // Every column of the joined rows, and what remains behind them, belongs to the group of its channel.
    std::vector<Moments> found(static_cast<std::size_t>(g.statistics()));
    const double columns = static_cast<double>(g.samples * (rows.tasks * rows.columns + rows.rest));
    parallel_for(g.samples, worthwhile_threads(32 * columns, g.samples), [&](index_t sample, int) {
        Moments* groups = found.data() + sample * g.groups;
        for (index_t task = 0; task < rows.tasks; ++task) {
            const index_t at = partial.at(sample, task), first = task * rows.rows_per_task;
            const auto count = static_cast<double>(std::min(rows.rows_per_task, rows.rows - first));
            for_each_column(g, rows.columns, [&](index_t column, index_t group, index_t) {
                groups[group].join({count, partial.first[at + column], partial.second[at + column]});
            });
        }
        const T* remaining = input + sample * g.sample_size() + rows.rows * rows.columns;
        for_each_column(g, rows.rest, [&](index_t column, index_t group, index_t) {
            groups[group].join({1, static_cast<double>(remaining[column]), 0});
        });
        for (index_t group = 0; group < g.groups; ++group) {
            mean[sample * g.groups + group] = groups[group].mean;
            variance[sample * g.groups + group] = groups[group].squares / std::max(groups[group].count, 1.0);
        }
    });
}

template <class T>
void gradient_sums(const ChannelGeometry& g, const ChannelNormBackward<T>& pass, const T* relu_factors,
                   const T* relu_offsets, double* sums, double* products) {
    const JoinedRows rows(g.pixels, g.channels, kMostSlices);
    const Partial partial(g.samples, rows);
    Buffer buffer;
    T* centers = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(g.samples * rows.columns); });
    for (index_t sample = 0; sample < g.samples; ++sample)
        for_each_column(g, rows.columns, [&](index_t column, index_t group, index_t) {
            centers[sample * rows.columns + column] = static_cast<T>(pass.statistics.mean[sample * g.groups + group]);
        });

    for_each_task(g, rows, 6.0, [&](index_t sample, index_t task) {
        const index_t at = partial.at(sample, task);
        std::fill_n(partial.first + at, rows.columns, 0.0);
        std::fill_n(partial.second + at, rows.columns, 0.0);
        rows.visit(task, [&](index_t first, index_t count, index_t columns) {
            const index_t start = sample * g.sample_size() + first;
            const T* output = pass.output == nullptr ? nullptr : pass.output + start;
            element_kernels<T>().add_gradients({{pass.grad_output + start, count, columns},
                                                pass.input + start,
                                                output,
                                                centers + sample * rows.columns,
                                                of_sample(relu_factors, sample, rows),
                                                of_sample(relu_offsets, sample, rows)},
                                               partial.first + at, partial.second + at);
        });
    });
    std::fill_n(sums, g.samples * g.channels, 0.0);
    std::fill_n(products, g.samples * g.channels, 0.0);
    for (index_t sample = 0; sample < g.samples; ++sample)
        for (index_t task = 0; task < rows.tasks; ++task)
            for_each_column(g, rows.columns, [&](index_t column, index_t, index_t c) {
                const index_t at = partial.at(sample, task) + column, channel = sample * g.channels + c;
                sums[channel] += partial.first[at];
                products[channel] += partial.second[at];
            });
}

template void channel_moments(const ChannelGeometry&, const float*, double*, double*);
template void channel_moments(const ChannelGeometry&, const double*, double*, double*);
template void gradient_sums(const ChannelGeometry&, const ChannelNormBackward<float>&, const float*, const float*,
                            double*, double*);
template void gradient_sums(const ChannelGeometry&, const ChannelNormBackward<double>&, const double*, const double*,
                            double*, double*);

}  // namespace fastconv
