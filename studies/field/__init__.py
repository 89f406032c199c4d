"""Which wrong samplers do the tests in use today catch? The same paths of every fault go through each of them, and through ours.

    python -m studies.field

The law is the ring in the plane, with 40 steps, at 10,000 and 100,000 paths; the smaller sample is the beginning of the larger one.
For each fault, the plain sampler draws a trusted sample of final states of the same size. Every fault is saved as soon as it is
measured, all at the smaller size first, and a run that was stopped continues from there. The study writes `field.json`, `field.md`,
`field.svg` and the page of the docs.
"""
