"""From finished runs to tables, figures and pages."""
