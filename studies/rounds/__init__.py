"""How many rounds does a chain take? Every way of drafting, verifying and replacing, over laws, chain lengths and windows.

    python -m studies.rounds

A round is one sequential call of the target, and a batched verification counts as one call; plain sampling takes K rounds. Every
run also compares the sampler with theory: given its drafts, the accepted length of a window has mean sum_i P_i, and the mean of
block verification is never less than that of verification token by token.
"""
