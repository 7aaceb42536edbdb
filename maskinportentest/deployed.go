package maskinportentest

// AsDeployed has f take what Maskinporten itself is known or believed to take,
// although Digdir's pages do not allow it: claims and header parameters that
// are not documented (nbf, sub), an x5c of the leaf alone or with line breaks,
// resource as one string, a lifetime of up to 180 seconds, an iat longer ago than ten seconds,
// an exp that passed up to ten seconds ago, form parameters beside the two.
// Each is noted in the Warnings of the grant. It is for tests of clients in
// production that nobody wants to change; by default f refuses all of it, so
// that a test fails before Maskinporten can.
func (f *Fake) AsDeployed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deployed = true
}

// deviation is r, for what Digdir's pages do not allow; nil, with a warning,
// if f is as deployed.
func (f *Fake) deviation(g *Grant, r *refusal) *refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.deployed {
		return r
	}
	g.Warnings = append(g.Warnings, r.detail)
	return nil
}
