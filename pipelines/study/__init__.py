"""The paper's experiments on any world: run over seeds, analysed, and set beside its figures."""
