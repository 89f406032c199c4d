"""Schedulers of diffusers, judged on Gaussian mixtures in the plane with the exact denoiser.

    python -m studies.schedulers

There are two questions, each at 10 to 1,000 steps. Whose paths are those of the DDPM chain? They are judged by their innovations
against the chain that is read off `DDPMScheduler.step`. And how far are final samples from the data's law? They are judged against
the mixture itself, by the largest Kolmogorov distance along everything that is monitored, with its upper confidence bound.
"""
