"""Records in, tables out: select → statistics → render. No number in a table is typed by hand."""
