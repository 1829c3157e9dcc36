"""What `reasongym.prm.judge` is made of: questions, replies, verdicts, the store of paid replies, the ledger, a local model."""
