"""How sharp is a network now, and what could its optimizer bear?"""
