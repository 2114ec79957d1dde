"""Reading the ledger: sums, single calls, exports."""
