"""How results look: numbers, tables in four formats, the style of figures, marks and notices."""
