"""`python -m reasongym report RUNS`: what a benchmark measured, as one HTML page that needs no network.

Read in this order: `reading` (folders and files into `Run` records), `estimates` and `tables` (numbers), `figures` and `charts`
(pictures, drawn by matplotlib as SVG), `episodes` (what the viewer is given), `page` (all of it put together).
"""

from reasongym.report.page import write_report
from reasongym.report.reading import Collection, Note, Run, read_runs

__all__ = ["Collection", "Note", "Run", "read_runs", "write_report"]
