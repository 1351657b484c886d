"""What people see of a study: its cells, claims, a forest plot, the report, and files for a paper."""

from figures.study.tables import claim_tables, plan_tables
from figures.study.writing import write_report

__all__ = ["claim_tables", "plan_tables", "write_report"]
