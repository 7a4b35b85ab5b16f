"""The paper's oracles and tables, and their reproduction."""
