#include "core/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace fastconv {
namespace {

struct Level {
    const KernelTable* kernels;
    const ElementTable* elements;
};

// What is tested here is exactly what the compiler may use: the flags in CMakeLists.txt.
std::vector<Level> detect() {
    std::vector<Level> levels{{&kernels_baseline, &elements_baseline}};
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) levels.push_back({&kernels_avx2, &elements_avx2});
#if defined(FASTCONV_AVX512)
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
        levels.push_back({&kernels_avx512, &elements_avx512});
    }
#endif
#elif defined(__aarch64__)
    levels.push_back({&kernels_neon, &elements_neon});
#endif
    return levels;
}

const std::vector<Level>& available() {
    static const std::vector<Level> levels = detect();
    return levels;
}

const Level& find(const std::string& name, const char* who) {
    std::string names;
    for (const Level& level : available()) {
        if (level.kernels->name == name) return level;
        names += (names.empty() ? "" : ", ") + std::string(level.kernels->name);
    }
    throw std::invalid_argument(std::string(who) + " must be one of " + names + " on this machine, got '" + name + "'");
}

std::atomic<const Level*> current{nullptr};

const Level& current_level() {
    const Level* level = current.load(std::memory_order_relaxed);
    if (level == nullptr) {
        const char* forced = std::getenv("FASTCONV_ISA");
        level = forced != nullptr && *forced != '\0' ? &find(forced, "FASTCONV_ISA") : &available().back();
        current = level;
    }
    return *level;
}

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Level& level : available()) names.push_back(level.kernels->name);
    return names;
}

const KernelTable& current_kernels() { return *current_level().kernels; }

const KernelTable& kernels_of_rows(index_t bytes) {
    const KernelTable& widest = current_kernels();
#if defined(__x86_64__) && defined(FASTCONV_AVX512)
    constexpr index_t kHalf = 32;
    if (&widest == &kernels_avx512 && bytes <= kHalf) return kernels_avx2;
#else
    static_cast<void>(bytes);
#endif
    return widest;
}

const ElementTable& current_elements() { return *current_level().elements; }

void set_isa(const std::string& name) { current = &find(name, "isa"); }

}  // namespace fastconv
