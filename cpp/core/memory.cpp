#include "core/memory.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace fastconv {
namespace {

// Bounds on what lies unused. A buffer serves again for requests of about its own size, so a program that works on ever
// new shapes pushes its oldest buffers out.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kMostBytes = 0;  // and exact sizes below: a step past the end of a buffer must not go unseen
#else
constexpr std::size_t kMostBytes = std::size_t{1} << 30;
#endif
constexpr std::size_t kMostBuffers = 256;

// What has just been given back is likelier to be in cache than an older buffer that fits exactly: the last few serve
// for requests of half their size, too, so that a model's layers take turns with a few buffers. Measured, time over
// this, batch 1, where weights fill the last cache: MobileNet V1 1.05, ResNet-18 and ResNet-50 1.01 to 1.04; all
// buffers, not the last few, as fast, and training MobileNet with batch 2 took 1.2 times the memory. Larger ones no
// cache holds.
constexpr std::size_t kHotBuffers = 2, kHotSlack = 2, kMostHotBytes = std::size_t{16} << 20;

// The capacity stands in front of the buffer, in an alignment's worth of bytes.
struct Header {
    std::size_t capacity;
};

Header* header_of(void* buffer) { return reinterpret_cast<Header*>(static_cast<char*>(buffer) - kAlignment); }

// Size classes an eighth apart: at most 12.5 % of a buffer is waste.
std::size_t round_to_class(std::size_t bytes) {
    if (kMostBytes == 0) return std::max(bytes, std::size_t{1});
    std::size_t step = kAlignment;
    while (step * 16 < bytes) step *= 2;
    return std::max((bytes + step - 1) / step * step, kAlignment);
}

class Cache {
  public:
    void* take(std::size_t capacity, bool lasts) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (std::size_t i = buffers_.size(); i-- > 0;) {  // the newest first
            void* buffer = buffers_[i];
            const std::size_t found = header_of(buffer)->capacity;
            const bool hot = !lasts && buffers_.size() - i <= kHotBuffers && found <= kMostHotBytes;
            if (found != capacity && !(hot && capacity < found && found <= kHotSlack * capacity)) continue;
            buffers_.erase(buffers_.begin() + static_cast<std::ptrdiff_t>(i));
            bytes_ -= found;
            return buffer;
        }
        return nullptr;
    }

    void give_back(void* buffer) {
        const std::size_t capacity = header_of(buffer)->capacity;
        const std::lock_guard<std::mutex> lock(mutex_);
        if (capacity > kMostBytes || buffers_.capacity() < kMostBuffers) return release(buffer);
        while (!buffers_.empty() && (bytes_ + capacity > kMostBytes || buffers_.size() >= kMostBuffers)) drop_oldest();
        buffers_.push_back(buffer);
        bytes_ += capacity;
    }

    void empty() {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (!buffers_.empty()) drop_oldest();
    }

    std::size_t bytes() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return bytes_;
    }

    Cache() { buffers_.reserve(kMostBuffers); }

    // A fork while another thread holds the lock would leave the child with a lock that nobody opens.
    void lock() { mutex_.lock(); }
    void unlock() { mutex_.unlock(); }

  private:
    static void release(void* buffer) { std::free(header_of(buffer)); }

    void drop_oldest() {
        bytes_ -= header_of(buffers_.front())->capacity;
        release(buffers_.front());
        buffers_.erase(buffers_.begin());
    }

    std::mutex mutex_;
    std::vector<void*> buffers_;  // oldest first
    std::size_t bytes_ = 0;
};

// Never destroyed: arrays that outlive the interpreter's shutdown still give their buffers back.
Cache& cache();

Cache* make_cache() {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork([] { cache().lock(); }, [] { cache().unlock(); }, [] { cache().unlock(); });
#endif
    return new Cache;
}

Cache& cache() {
    static Cache* const instance = make_cache();
    return *instance;
}

}  // namespace

const char* OutOfMemory::what() const noexcept { return text_.c_str(); }

void* take_buffer(std::size_t bytes, bool lasts) {
    if (bytes > SIZE_MAX / 4) throw OutOfMemory(bytes);
    const std::size_t capacity = round_to_class(bytes);
    if (void* buffer = cache().take(capacity, lasts)) return buffer;
    void* block = nullptr;
    if (posix_memalign(&block, kAlignment, capacity + kAlignment) != 0) throw OutOfMemory(bytes);
    static_cast<Header*>(block)->capacity = capacity;
    return static_cast<char*>(block) + kAlignment;
}

void give_back_buffer(void* buffer) noexcept {
    if (buffer != nullptr) cache().give_back(buffer);
}

void empty_buffer_cache() noexcept { cache().empty(); }

std::size_t cached_bytes() noexcept { return cache().bytes(); }

}  // namespace fastconv
