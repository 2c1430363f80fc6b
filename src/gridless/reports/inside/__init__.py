"""Looking inside a model: what its queries read, what its tokens became, what its answers hold.

reading.py   from a model and samples to arrays: attention, modulations, tokens, latents
vectors.py   sets of vectors: cosine, components, t-SNE, neighbours, probe
answers.py   pictures and fields: spectra, jitter
plots.py     arrays to pictures        sections.py   one question, its picture and its caption        page.py   the page
"""
