#include "core/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace fastconv {
namespace {

// What is tested here is exactly what the compiler may use: the flags in CMakeLists.txt.
std::vector<const KernelTable*> detect() {
    std::vector<const KernelTable*> tables{&kernels_baseline};
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) tables.push_back(&kernels_avx2);
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
        tables.push_back(&kernels_avx512);
    }
#elif defined(__aarch64__)
    tables.push_back(&kernels_neon);
#endif
    return tables;
}

const std::vector<const KernelTable*>& available() {
    static const std::vector<const KernelTable*> tables = detect();
    return tables;
}

const KernelTable& find(const std::string& name, const char* who) {
    std::string names;
    for (const KernelTable* table : available()) {
        if (table->name == name) return *table;
        names += (names.empty() ? "" : ", ") + std::string(table->name);
    }
    throw std::invalid_argument(std::string(who) + " must be one of " + names + " on this machine, got '" + name + "'");
}

std::atomic<const KernelTable*> current{nullptr};

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const KernelTable* table : available()) names.push_back(table->name);
    return names;
}

const KernelTable& current_kernels() {
    const KernelTable* table = current.load(std::memory_order_relaxed);
    if (table == nullptr) {
        const char* forced = std::getenv("FASTCONV_ISA");
        table = forced != nullptr && *forced != '\0' ? &find(forced, "FASTCONV_ISA") : available().back();
        current = table;
    }
    return *table;
}

void set_isa(const std::string& name) { current = &find(name, "isa"); }

}  // namespace fastconv
