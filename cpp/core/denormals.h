// Denormals: numbers too small for a leading 1, which many processors compute with far more slowly than with others.
// Kernels take them for zero and make none.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace fastconv {

// While it lives, denormals are flushed to zero on this thread; then the caller's mode is back, and with it the
// caller's flags of what happened in its own arithmetic.
class FlushDenormals {
  public:
    FlushDenormals() : callers_(read()) { write(callers_ | kFlush); }
    ~FlushDenormals() { write(callers_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

  private:
#if defined(__SSE__)
    using Register = unsigned;                  // MXCSR
    static constexpr Register kFlush = 0x8040;  // FTZ: results; DAZ, which every x86-64 has: operands
    static Register read() { return _mm_getcsr(); }
    static void write(Register value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
    using Register = std::uint64_t;                        // FPCR
    static constexpr Register kFlush = Register{1} << 24;  // FZ: operands and results
    static Register read() {
        Register value;
        __asm__ volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static void write(Register value) { __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#else
    using Register = int;  // a machine without such a switch
    static constexpr Register kFlush = 0;
    static Register read() { return 0; }
    static void write(Register) {}
#endif

    Register callers_;
};

}  // namespace fastconv
