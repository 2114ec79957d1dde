"""Whether green tests prove anything: run again, in another order, on broken code."""
