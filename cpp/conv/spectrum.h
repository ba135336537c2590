// Signals and weights, and their spectra: what convolution by Fourier transforms stands on.
//
// Lanes are what is transformed at once, side by side: an array of spectra holds, frequency after frequency, the
// real parts of all lanes and then the imaginary ones. A lane of a signal is a channel of two blocks: a transform
// takes complex numbers, so one block is the real part and the next the imaginary part. What a real weight makes of
// the two stays apart. A lane of weights is a pair of channels, and half of its spectrum is kept.
#pragma once

#include "core/geometry.h"
#include "core/memory.h"
#include "core/tensor.h"
#include "kernels/table.h"

namespace fastconv {

// The lines of an activation, cut in blocks of `length` positions that overlap by taps - 1 (overlap-save: Oppenheim
// and Schafer, "Discrete-time signal processing", section 8.7.3). Position q of the target side meets, at tap t,
// position q + shift + t * dilation of the source. Where there is a dilation, every dilation-th position of a line
// makes a line of its own.
struct Blocks {
    std::array<index_t, kAxes> extents;  // of the target side; the source has the same lines
    index_t batch, source_extent, shift, taps, dilation;
    index_t length = 0;

    index_t hop() const { return length - taps + 1; }  // target positions that a block computes
    index_t blocks_per_line() const { return (extents[2] + dilation * hop() - 1) / (dilation * hop()); }
    index_t count() const { return batch * extents[0] * extents[1] * dilation * blocks_per_line(); }
    index_t pairs() const { return (count() + 1) / 2; }
};

// How the channels of some pairs of blocks become lanes.
struct Lanes {
    index_t channels, pairs, channel_step, pair_step;

    index_t count() const { return channels * pairs; }
};

enum class Side { kSource, kTarget };

// One side of some blocks: all `length` positions of the source, or the positions of the target, and then zeros.
template <class T>
struct Signal {
    TensorView<T> view;
    Side side;
    Lanes lanes;
    index_t first_pair;
};

// A weight (taps, group_inputs, out_channels) as lanes: one for each (input channel of a group, output channel), or,
// transposed, for each (output channel of a group, input channel).
struct WeightLanes {
    index_t group_inputs, group_outputs, groups, taps;
    bool transposed;
    bool flipped;  // the last tap first

    index_t rows() const { return transposed ? group_outputs : group_inputs; }
    index_t columns() const { return groups * (transposed ? group_inputs : group_outputs); }
    index_t count() const { return rows() * columns(); }
    index_t outputs() const { return groups * group_outputs; }
    index_t tap_step() const { return (flipped ? -1 : 1) * group_inputs * outputs(); }
    index_t position(index_t tap, index_t lane) const;
};

template <class T>
class Fourier {
  public:
    // For arrays of at most so many lanes, weights laid out like this one, and at most so many threads.
    Fourier(Arena& arena, index_t length, index_t lanes, const WeightLanes& weight, int threads);

    // Spectra of `lanes` lanes: values at each frequency, and from its real to its imaginary parts.
    static index_t pitch(index_t lanes) { return 2 * imaginary(lanes); }
    static index_t imaginary(index_t lanes);
    index_t length() const { return length_; }

    void prepare();
    void transform(const Blocks& blocks, const Signal<const T>& signal, T* spectra) const;
    // Adds the bias, if there is one, and applies the activation.
    void restore(const Blocks& blocks, const T* spectra, const Signal<T>& signal, const T* bias, bool relu) const;
    // The conjugate spectra, divided by the length, up to frequency length / 2.
    void transform(const WeightLanes& lanes, const T* weight, T* spectra) const;
    // From halves of spectra, multiplied by two.
    void restore(const WeightLanes& lanes, const T* spectra, T* weight) const;

  private:
    // Of a worker: where transforms find room (FourierBlock::work), may start, and end; and the taps of a strip of
    // lanes.
    struct Scratch {
        T *work, *start, *result, *strip;
    };

    // In tasks of some vectors of lanes.
    template <class Body>
    void for_each_task(index_t tasks, index_t vectors, const Body& body) const;
    template <class Body>
    void for_each_weight_strip(const WeightLanes& lanes, const Body& body) const;
    ComplexRows<T> rows(T* work) const;
    void transform_vector(ComplexRows<const T> source, ComplexRows<T> target, T* work) const;

    index_t length_;
    int workers_;
    T* roots_;
    T* work_;  // two buffers for each worker
    index_t strip_size_;
    T* strips_;
};

}  // namespace fastconv
