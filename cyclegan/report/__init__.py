"""report.html: a run in one file to look at. Only `page` and `curves` import jinja2 and plotly."""
