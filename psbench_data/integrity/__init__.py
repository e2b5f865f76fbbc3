"""Whether a folder is a usable dataset, and what to do if not: for everybody whose data does not load.

from psbench_data import doctor

report = doctor("/data/PRW-v16.04.20")
print(report.text())
"""

from psbench_data.integrity.examination import doctor
from psbench_data.integrity.findings import Finding
from psbench_data.integrity.report import IntegrityReport

__all__ = ["Finding", "IntegrityReport", "doctor"]
