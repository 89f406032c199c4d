"""A trained network for the 8x8 digits, its distilled copy, and a small network that predicts ahead.

With y = x / signal and s = noise / signal a state is y = x_0 + s xi whatever the schedule is, so one set of weights serves
them all: a network is told log s, not the step. It is preconditioned as in Karras et al. 2022, "Elucidating the Design Space
of Diffusion-Based Generative Models", section 5, but axis by axis: along the i-th principal axis of the pictures, where their
variance is v,

    D = mean + skip (y - mean) + out F(in (y - mean), log s),
    skip = v / (v + s^2),   out = s sqrt(v / (v + s^2)),   in = 1 / sqrt(v + s^2),

so F = 0 is the best linear denoiser at every noise level. F is a residual perceptron without statistics over the batch: a
row's prediction is a function of that row, up to the rounding of a matrix product.

