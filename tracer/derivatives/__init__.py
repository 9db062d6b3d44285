"""Derivatives as users ask for them: of functions, and of values inside a trace."""
