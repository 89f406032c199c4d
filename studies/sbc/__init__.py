"""What do the tests of posterior samplers in use today see, and how often do they refuse right ones?

    python -m studies.sbc

Simulation-based calibration with and without thinning, Geweke's joint distribution tests and the rule "mean and standard deviation
within 7%" judge the same kernels as `JointLaw` and `KernelInvariance`. Two minutes of one core.
"""
