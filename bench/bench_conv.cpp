// Every layer of the tables given, every pass, every algorithm, on the core alone:
//
//   bench_conv bench/layers/vgg16.csv --benchmark_filter=direct/forward --batch=4
//
// Beside the time: GFLOP/s by the operations of the direct algorithm, and the share of the machine's
// peak, which is measured first, in the same process.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <functional>

#include "conv/conv.h"
#include "core/machine.h"
#include "core/threads.h"
#include "layer_table.h"

namespace fastconv {
namespace {

double peak = 0;

// The arrays of a layer, alive while its passes are measured.
struct Arrays {
    explicit Arrays(const ConvGeometry& g)
        : input(static_cast<std::size_t>(g.input_rows() * g.in_channels), 0.5F),
          weight(static_cast<std::size_t>(g.weight_size()), 0.25F),
          output(static_cast<std::size_t>(g.output_rows() * g.out_channels), 1.0F) {}

    std::vector<float> input, weight, output;
};

void run(benchmark::State& state, const Layer& layer, index_t batch, const std::string& algorithm, Pass pass) {
    const ConvGeometry g = geometry_of(layer, batch);
    Arrays arrays(g);
    const Request request{layer.name, algorithm};
    const TensorView<const float> input = contiguous_view<const float>(
        arrays.input.data(), {g.axes[0].input, g.axes[1].input, g.axes[2].input}, g.in_channels);
    float *output = arrays.output.data(), *weight = arrays.weight.data();
    for (auto iteration : state) {
        static_cast<void>(iteration);
        switch (pass) {
            case Pass::kForward:
                conv_forward<float>(request, g, {input, weight, nullptr, false, output});
                break;
            case Pass::kBackwardInput:
                conv_backward_input<float>(request, g, {output_view<float>(g, output), weight, arrays.input.data()});
                break;
            case Pass::kBackwardWeight:
                conv_backward_weight<float>(request, g, {output_view<float>(g, output), input, weight});
                break;
        }
        benchmark::ClobberMemory();
    }
    const double operations = g.operations() * static_cast<double>(state.iterations());
    state.counters["GFLOP/s"] = benchmark::Counter(operations / 1e9, benchmark::Counter::kIsRate);
    state.counters["peak%"] = benchmark::Counter(100 * operations / peak, benchmark::Counter::kIsRate);
}

void add_layer(const Layer& layer, index_t batch) {
    const std::pair<const char*, Pass> passes[] = {{"forward", Pass::kForward},
                                                   {"backward_input", Pass::kBackwardInput},
                                                   {"backward_weight", Pass::kBackwardWeight}};
    for (const std::string& algorithm : algorithm_names())
        for (const auto& [name, pass] : passes) {
            if (!algorithm_supports(algorithm, geometry_of(layer, batch), pass)) continue;
            benchmark::RegisterBenchmark(
                (layer.name + "/" + algorithm + "/" + name).c_str(),
                [=, pass = pass](benchmark::State& state) { run(state, layer, batch, algorithm, pass); })
                ->UseRealTime()
                ->Unit(benchmark::kMicrosecond);
        }
}

}  // namespace
}  // namespace fastconv

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    fastconv::index_t batch = 0;  // that of the table
    std::vector<std::string> tables;
    for (int i = 1; i < argc; ++i) {
        if (std::strncmp(argv[i], "--batch=", 8) == 0) {
            batch = std::atoll(argv[i] + 8);
        } else {
            tables.emplace_back(argv[i]);
        }
    }
    if (tables.empty()) {
        std::fprintf(stderr, "usage: %s TABLE.csv... [--batch=N] [--benchmark_...]\n", argv[0]);
        return 2;
    }
    try {
        for (const std::string& table : tables)
            for (const fastconv::Layer& layer : fastconv::read_layers(table)) fastconv::add_layer(layer, batch);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
    fastconv::peak = fastconv::measure_peak<float>(fastconv::num_threads());
    std::printf("threads %d, peak %.1f GFLOP/s (float32, measured)\n", fastconv::num_threads(), fastconv::peak / 1e9);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
