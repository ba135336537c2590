// Memory that will be read soon, fetched while a kernel works on something else.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Fetches what is ahead, a few cache lines at a time. Where all of it is asked for at once, it comes no sooner, and
// what the kernel needs itself waits behind it: depthwise 3x3 from memory, 128 channels, took 1.7 times as long.
template <class T>
class Fetcher {
  public:
    static constexpr index_t kLine = 64;

    // Cache lines, to be fetched one by one: neighbours, or one of each row.
    struct Run {
        const char *at, *end;
        index_t pitch;

        FASTCONV_INLINE void step() {
            if (at >= end) return;
            __builtin_prefetch(at, 0, 2);
            at += pitch;
        }
    };

    // In so many equal steps.
    Fetcher(const Ahead<T>& ahead, index_t steps) : now_(ahead) {
        share_ = steps > 0 ? (now_.lines() + steps - 1) / steps : 0;
    }

    // Run by run, in so many of them.
    Fetcher(const Ahead<T> (&ahead)[2], index_t runs) : now_(ahead[0]), then_(ahead[1]) {
        share_ = runs > 0 ? (now_.lines() + then_.lines() + runs - 1) / runs : 0;
    }

    // The first of them between tiles, the second inside of one: a function that is called makes it save its sums.
    __attribute__((noinline)) void step_between() { step(); }
    FASTCONV_INLINE void step() {
        for (index_t left = share_; left > 0;) {
            if (now_.at >= now_.end && !next_row()) return;
            const char* at = now_.at;
            for (; left > 0 && at < now_.end; --left, at += kLine) __builtin_prefetch(at, 0, 2);
            now_.at = at;
        }
    }

    // The next ones, at most so many; to be called before a tile loads its sums.
    __attribute__((noinline)) Run take(index_t most) {
        index_t lines = smaller(most, share_);
        if (now_.at >= now_.end && !next_row()) {
            now_ = then_;
            then_ = {};
        }
        if (now_.size == static_cast<index_t>(sizeof(T))) {  // rows of a value
            const index_t count = smaller(lines, now_.rows), pitch = now_.size + now_.gap;
            const char* const first = now_.end - now_.size;
            const Run run{first, first + count * pitch, pitch};
            now_.rows -= count;
            now_.end += count * pitch;
            now_.at = now_.rows > 0 ? run.end : now_.end;
            return run;
        }
        // Whole short rows before: all but the last.
        for (; now_.rows > 1 && now_.at < now_.end && now_.end - now_.at < lines * kLine; next_row())
            for (; now_.at < now_.end; now_.at += kLine, --lines) __builtin_prefetch(now_.at, 0, 2);
        const Run run{now_.at, now_.end - now_.at > lines * kLine ? now_.at + lines * kLine : now_.end, kLine};
        now_.at = run.end;
        return run;
    }

  private:
    // A row may start and end inside of a line.
    static FASTCONV_INLINE const char* line_of(const char* at) {
        return at - reinterpret_cast<std::uintptr_t>(at) % kLine;
    }

    FASTCONV_INLINE bool next_row() {
        if (now_.rows <= 1) return false;
        --now_.rows;
        const char* const start = now_.end + now_.gap;
        now_.at = line_of(start);
        now_.end = start + now_.size;
        return true;
    }

    struct Rows {
        const char *at = nullptr, *end = nullptr;
        index_t size = 0, gap = 0, rows = 0;  // bytes of a row, and between rows

        Rows() = default;
        explicit Rows(const Ahead<T>& ahead) {
            if (ahead.rows <= 0) return;
            const bool dense = ahead.pitch == ahead.columns;  // one long row
            rows = dense ? 1 : ahead.rows;
            size = (dense ? ahead.rows : 1) * ahead.columns * static_cast<index_t>(sizeof(T));
            gap = ahead.pitch * static_cast<index_t>(sizeof(T)) - size;
            const char* const start = reinterpret_cast<const char*>(ahead.start);
            at = line_of(start);
            end = start + size;
        }
        index_t lines() const { return rows * ((end - at + kLine - 1) / kLine); }
    };

    Rows now_, then_;
    index_t share_ = 0;
};

}  // namespace
}  // namespace fastconv
