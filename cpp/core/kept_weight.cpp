#include "core/kept_weight.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/arithmetic.h"
#include "core/threads.h"

namespace fastconv {
namespace {

constexpr std::size_t kChunk = std::size_t{64} << 10;  // bytes that a task reads
constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15;   // odd, so that multiplying loses nothing

// Every step is a bijection of the sum so far, and of the word: one word that differs leaves another sum. Eight chains,
// because a multiplication takes a few cycles.
std::uint64_t checksum_of_chunk(const char* data, std::size_t bytes) {
    constexpr std::size_t chains = 8;
    std::uint64_t sums[chains];
    std::fill(std::begin(sums), std::end(sums), bytes);
    while (bytes > 0) {
        std::uint64_t words[chains]{};
        const std::size_t size = std::min(bytes, sizeof words);
        std::memcpy(words, data, size);
        for (std::size_t i = 0; i < chains; ++i) {
            sums[i] = (sums[i] ^ words[i]) * kPrime;
            sums[i] ^= sums[i] >> 29;
        }
        data += size;
        bytes -= size;
    }
    std::uint64_t all = 0;
    for (const std::uint64_t sum : sums) all = (all ^ sum ^ (sum >> 32)) * kPrime;
    return all;
}

}  // namespace

std::uint64_t checksum_of(const void* data, std::size_t bytes) {
    const auto chunks = static_cast<index_t>((bytes + kChunk - 1) / kChunk);
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(chunks));
    const char* first = static_cast<const char*>(data);
    parallel_for(chunks, worthwhile_threads(static_cast<double>(bytes), chunks), [&](index_t task, int) {
        const std::size_t at = static_cast<std::size_t>(task) * kChunk;
        sums[static_cast<std::size_t>(task)] = checksum_of_chunk(first + at, std::min(kChunk, bytes - at));
    });
    return checksum_of_chunk(reinterpret_cast<const char*>(sums.data()), sums.size() * sizeof sums[0]);
}

std::shared_ptr<void> KeptWeight::find(const Key& key) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return key == key_ ? buffer_ : nullptr;
}

void KeptWeight::keep(const Key& key, std::shared_ptr<void> buffer, std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    key_ = key;
    buffer_ = std::move(buffer);
    bytes_ = bytes;
}

std::size_t KeptWeight::bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
}

}  // namespace fastconv
