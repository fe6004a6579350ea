"""saddlepoint: attacks, defences, evaluation and studies of adversarial robustness under one contract."""

__version__ = "0.1.0"
