"""Floor 5: rewriting by lists of rules."""
