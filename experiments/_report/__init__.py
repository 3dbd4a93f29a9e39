"""The report: one page, and tables for README files, made from data files and pictures."""

from experiments._report.load import Report as Report
from experiments._report.load import load as load
from experiments._report.markdown import claim_table as claim_table
from experiments._report.markdown import replace_tables as replace_tables
from experiments._report.page import render as render
