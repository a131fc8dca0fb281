package secret

// Len is the number of pairs.
func (c *Cache) Len() int { return c.pairs.Len() }
