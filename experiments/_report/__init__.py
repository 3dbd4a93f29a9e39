"""The report: one page, and a table for the README, made from data files and pictures."""

from experiments._report.load import Report as Report
from experiments._report.load import load as load
from experiments._report.markdown import claim_table as claim_table
from experiments._report.markdown import replace_table as replace_table
from experiments._report.page import render as render
