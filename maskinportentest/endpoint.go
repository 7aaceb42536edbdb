package maskinportentest

import "net/http"

// answer is what a token request is answered: a token or a refusal.
type answer struct {
	refusal *refusal
	token   string
	scope   string
	expires int64 // seconds
}

// serveToken answers a token request. Each is logged, whatever becomes of it.
func (f *Fake) serveToken(w http.ResponseWriter, r *http.Request) {
	g := Grant{Time: f.now()}
	assertion, bad := f.readForm(&g, r)
	var token *jws
	if bad == nil {
		token, bad = readGrant(&g, assertion)
	}
	fault := f.faults.take(g)
	var out *reply
	switch a := (answer{refusal: bad}); {
	case fault.answers():
		a.refusal = fault.refusal()
		out = fault.reply(f, a.refusal)
		g.note(a)
	case bad == nil:
		a = f.judge(&g, token, assertion)
		out = f.reply(a)
		g.note(a)
	default:
		out = f.reply(a)
		g.note(a)
	}
	out.drop = fault.Drop
	g.Answer = out.body
	if out.drop {
		g.Status, g.Answer = 0, ""
	}
	f.logGrant(g)
	f.mu.Lock()
	onGrant := f.onGrant
	f.mu.Unlock()
	if onGrant != nil {
		onGrant(g)
	}
	if fault.wait(r) {
		out.send(w)
	}
}

// reply is the answer to a grant that was judged.
func (f *Fake) reply(a answer) *reply {
	if a.refusal != nil {
		return f.replyRefusal(a.refusal)
	}
	return jsonReply(http.StatusOK, map[string]any{
		"access_token": a.token,
		"token_type":   "Bearer",
		"expires_in":   a.expires,
		"scope":        a.scope,
	})
}
