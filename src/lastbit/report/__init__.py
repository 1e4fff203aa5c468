"""Pages as data, and their rendering: what stands on a page is composed by each kind of study."""
