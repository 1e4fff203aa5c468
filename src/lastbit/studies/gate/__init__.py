"""Keep or discard a candidate: sessions of many against one baseline, so that few of their keeps are false."""
