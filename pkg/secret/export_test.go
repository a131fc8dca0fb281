package secret

// CleanUp does the cache's pending work, and Len is the number of pairs after it.
func (c *Cache) CleanUp() { c.pairs.CleanUp() }

// Len is the number of pairs.
func (c *Cache) Len() int { return c.pairs.EstimatedSize() }
