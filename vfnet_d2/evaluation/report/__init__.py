"""The report on a detector's results: analysis and page; import the defining module."""
