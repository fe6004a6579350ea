"""What every attack is made of: the contract, the batch, the tracker, the judge, shared steps."""
