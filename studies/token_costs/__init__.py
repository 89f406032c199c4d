"""What verifying and judging tokens cost at a large vocabulary, as multiples of one softmax, and what memory judging takes.

    python -m studies.token_costs

All costs are ratios to a softmax that is timed next to them, in processor time of one thread, so that other work on the machine
matters little. Memory is that of the process, so this needs Linux.
"""
