// What a sum of outer products fetches while it adds up (gemm/outer_product.h): each call of a kernel a part of what
// comes next.
#pragma once

#include <algorithm>

#include "core/arithmetic.h"
#include "kernels/table.h"

namespace fastconv {

// What the next block of rows will read: of the source, where it follows in memory, and of the right-hand side.
template <class T>
struct NextRows {
    Ahead<T> source, right;
    index_t calls = 1, call = 0;

    void add_to(OuterBlock<T>& block) {
        block.ahead[0] = part_of(source);
        block.ahead[1] = part_of(right);
        ++call;
    }

  private:
    Ahead<T> part_of(const Ahead<T>& all) const {
        const index_t first = all.rows * call / calls, count = all.rows * (call + 1) / calls - first;
        return {all.start + first * all.pitch, all.pitch, count, all.columns};
    }
};

// What the taps of the next segment will read, where its rows are few lines of the cache each: column after column of
// these, a line of every row. (Where rows begin inside of a line, the segment before met that one.)
template <class T>
struct NextSegment {
    Ahead<T> source, right;
    index_t calls = 1, call = 0;

    void add_to(OuterBlock<T>& block) {
        const index_t of_source = lines(source), all = of_source + lines(right);
        if (all == 0 || all > calls) return;
        const index_t line = call * all / calls;
        block.ahead[0] = line < of_source ? share(source, line, line, all) : share(right, line - of_source, line, all);
        ++call;
    }

  private:
    static constexpr index_t kLine = 64 / sizeof(T);

    static index_t lines(const Ahead<T>& side) { return ceil_div(side.columns, kLine); }

    // Of those rows that the calls for this line share.
    Ahead<T> share(const Ahead<T>& side, index_t line, index_t nth, index_t all) const {
        const index_t begin = ceil_div(nth * calls, all), end = ceil_div((nth + 1) * calls, all);
        const index_t first = side.rows * (call - begin) / (end - begin),
                      last = side.rows * (call + 1 - begin) / (end - begin);
        const index_t value = std::min((line + 1) * kLine, side.columns) - 1;
        return {side.start + first * side.pitch + value, side.pitch, last - first, 1};
    }
};

}  // namespace fastconv
