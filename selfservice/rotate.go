package selfservice

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// Rotation says which key is to be renewed, and how the new one reaches the
// programs that sign with it. [KeyFile] makes one for a key file.
type Rotation struct {
	// ClientID is the client whose key it is; it may be the admin client's own.
	ClientID string

	// Current is the key in use, which the new one replaces. Nil, or a file
	// that does not exist yet, means that there is none. Only this key is
	// removed in the end, and not while Current still has it; others on the
	// client are not touched.
	Current maskinporten.CredentialSource

	// Publish gives the new key to the programs that sign with it: a file by
	// rename ([WriteKey]), a Kubernetes Secret, a vault. After a crash it may
	// be called again with the same key.
	Publish func(ctx context.Context, key *PrivateKey) error

	// State keeps what has been done; see [FileState]. One for each client.
	State State

	// Scope is what the new key is proved with: one that the client has been
	// granted. Empty means the first that is registered on it.
	Scope string

	// Grace is how long the old key stays after the new one was published: the
	// time that the slowest of the programs takes to read that, and two minutes
	// more for grants already signed. Zero means seven minutes, which suits a
	// Secret mounted in Kubernetes.
	Grace time.Duration

	// Before is how long before its end [Client.RotateWhenDue] renews a key.
	// Zero means 60 days. Keys live a year: with 335 days they are renewed
	// every month.
	Before time.Duration
}

// KeyFile is the Rotation of a client whose key is in a file that its programs
// read with [maskinporten.JWKFile]. The state is kept beside it, in
// path.rotation.
func KeyFile(clientID, path string) Rotation {
	return Rotation{
		ClientID: clientID,
		Current:  maskinporten.JWKFile(path),
		Publish:  WriteKey(path),
		State:    FileState(path + ".rotation"),
	}
}

// WriteKey returns a function for [Rotation.Publish] that replaces a file by
// the key as JWK. Only the file's owner may read it (0600), and a reader finds
// the old key or the new one, never a part.
func WriteKey(path string) func(context.Context, *PrivateKey) error {
	return func(_ context.Context, key *PrivateKey) error { return writeFile(path, key.JWK()) }
}

// Rotated is a rotation that has ended well.
type Rotated struct {
	KeyID   string // the key in use now
	Removed string // the one before; empty if there was none
}

const (
	usualGrace  = 7 * time.Minute
	usualBefore = 60 * 24 * time.Hour

	// arrival is how long a change may take to reach Maskinporten: two minutes
	// by the documentation, several have been seen.
	arrival = 5 * time.Minute

	// staleAfter is when a key that was never handed to Publish is given up.
	staleAfter = 24 * time.Hour

	writeAttempts = 4
)

// Rotate renews a key without a call failing: it makes a new one, registers it
// beside the old one, proves it by a token request, publishes it, waits until
// the programs have read it, and removes the old one. That takes some minutes.
//
// Each step is saved before it is done. If Rotate ends before its time, by an
// error, by ctx or by a crash, the next call goes on where it was; a key that
// Maskinporten does not take in five minutes is removed again, and the old one
// stays. The error is [ErrTooManyKeys] if there is no room for the new key,
// and [ErrOwnKey] if the old one is still signed with when it is to be removed.
func (c *Client) Rotate(ctx context.Context, r Rotation) (Rotated, error) {
	if err := c.checkRotation(&r); err != nil {
		return Rotated{}, err
	}
	p, err := load(ctx, r.State, r.ClientID)
	if err != nil {
		return Rotated{}, err
	}
	if p != nil && !p.mayBeInUse() && time.Since(p.Began) > staleAfter {
		if err := c.goBack(ctx, r, p); err != nil {
			return Rotated{}, err
		}
		p = nil
	}
	if p == nil {
		if p, err = c.begin(ctx, r); err != nil {
			return Rotated{}, err
		}
	}
	for _, s := range []struct {
		from, to step
		do       func(context.Context, Rotation, *progress) error
	}{
		{stepCreated, stepRegistered, c.register},
		{stepRegistered, stepProved, c.prove},
		{stepProved, stepPublished, c.publish},
	} {
		if p.Step != s.from {
			continue
		}
		if err := s.do(ctx, r, p); err != nil {
			return Rotated{}, err
		}
		p.Step = s.to
		if err := p.save(ctx, r.State); err != nil {
			return Rotated{}, err
		}
		c.log.InfoContext(ctx, "selfservice: rotating a key", "client_id", r.ClientID, "kid", p.KeyID, "step", string(p.Step))
	}
	if err := c.retire(ctx, r, p); err != nil {
		return Rotated{}, err
	}
	return Rotated{KeyID: p.KeyID, Removed: p.Replaces}, nil
}

func (c *Client) checkRotation(r *Rotation) error {
	switch {
	case c == nil || c.admin == nil:
		return invalid("Client", "is not ready: make it with selfservice.New")
	case !isName(r.ClientID):
		return invalid("Rotation.ClientID", "is not a client id")
	case r.Publish == nil:
		return invalid("Rotation.Publish", "is missing: say how programs get the new key, for instance WriteKey(path)")
	case r.State == nil:
		return invalid("Rotation.State", "is missing: without it a crash would lose the new key; use FileState(path)")
	case r.Grace < 0 || r.Before < 0:
		return invalid("Rotation.Grace", "and Before cannot be negative")
	case r.Scope != "":
		if err := checkScope(r.Scope); err != nil {
			return err
		}
	}
	if r.Grace == 0 {
		r.Grace = usualGrace
	}
	if r.Before == 0 {
		r.Before = usualBefore
	}
	return nil
}

// begin makes the new key and saves it before anybody else hears of it.
func (c *Client) begin(ctx context.Context, r Rotation) (*progress, error) {
	replaces, _, err := current(ctx, r)
	if err != nil {
		return nil, err
	}
	keys, err := c.Keys(ctx, r.ClientID)
	if err != nil {
		return nil, err
	}
	now := c.now()
	if left := slices.DeleteFunc(keys, func(k Key) bool { return k.expired(now) }); len(left) >= MaxKeys {
		return nil, fmt.Errorf("%w, and client %s has %s: remove one that is no longer used", ErrTooManyKeys, r.ClientID, kids(left))
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	p := &progress{ClientID: r.ClientID, Step: stepCreated, KeyID: key.id, Replaces: replaces, Key: key.JWK(), Began: now}
	if err := p.save(ctx, r.State); err != nil {
		return nil, err
	}
	// Another rotator with the same state may have begun at the same time: then
	// both go on with the key that was saved last.
	p, err = load(ctx, r.State, r.ClientID)
	if err == nil && p == nil {
		err = invalid("Rotation.State", "does not keep what is saved in it: a crash would lose the new key")
	}
	return p, err
}

// newKey is replaced in tests, which need many keys.
var newKey = NewKey

// current is the id of the key in use and its end; empty if there is none yet.
func current(ctx context.Context, r Rotation) (kid string, notAfter time.Time, err error) {
	if r.Current == nil {
		return "", time.Time{}, nil
	}
	cred, err := r.Current.Credential(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", time.Time{}, nil
	case err != nil:
		return "", time.Time{}, fmt.Errorf("selfservice: the key in use: %w", err)
	}
	return cred.KeyID(), cred.NotAfter(), nil
}

// register puts the new key beside the others. When another writer comes
// between, it is done again: each adds its own, and takes nothing away.
func (c *Client) register(ctx context.Context, r Rotation, p *progress) error {
	key, err := p.private()
	if err != nil {
		return err
	}
	keys, err := c.ensureRegistered(ctx, r.ClientID, key.Public())
	if err != nil {
		return err
	}
	at := slices.IndexFunc(keys, func(k Key) bool { return k.KeyID == p.KeyID })
	expires := keys[at].Expires
	if expires.IsZero() {
		expires = p.Began.AddDate(1, 0, 0)
	}
	p.Key = privateKey(key.key(), key.id, expires).JWK()
	return nil
}

func (c *Client) ensureRegistered(ctx context.Context, clientID string, key Key) (keys []Key, err error) {
	for range writeAttempts {
		keys, err = c.RegisterKey(ctx, clientID, key)
		if !errors.Is(err, ErrChangedMeanwhile) {
			return keys, err
		}
		if slices.ContainsFunc(keys, key.same) {
			return keys, nil // and somebody else's beside it
		}
		pause(ctx, time.Duration(rand.Int64N(int64(2*time.Second))))
	}
	return keys, err
}

// prove wants a token by the new key. Maskinporten knows it only after a
// while; another refusal, or none of it in the end, and the key is removed.
func (c *Client) prove(ctx context.Context, r Rotation, p *progress) error {
	key, err := p.private()
	if err != nil {
		return err
	}
	if r.Scope == "" && !c.isAdmin(r.ClientID) {
		integration, err := c.Integration(ctx, r.ClientID)
		if err != nil {
			return err
		}
		if len(integration.Scopes) == 0 {
			return invalid("Rotation.Scope", "is missing, and the client has no scope to prove the key with")
		}
		r.Scope = integration.Scopes[0]
	}
	until := time.Now().Add(arrival)
	for {
		err := c.probe(ctx, r, key)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if !mayArrive(err) || time.Now().After(until) {
			if failed := c.goBack(ctx, r, p); failed != nil {
				return failed
			}
			return fmt.Errorf("selfservice: the new key of client %s is removed again, and the old one stays in use: %w", r.ClientID, err)
		}
		pause(ctx, 5*time.Second+time.Duration(rand.Int64N(int64(10*time.Second))))
		// Another writer, who had read the set before this key was in it, may
		// have written it without.
		if _, err := c.ensureRegistered(ctx, r.ClientID, key.Public()); err != nil && !mayArrive(err) {
			return err
		}
	}
}

// mayArrive reports whether a probe that failed with err may succeed a little
// later: the key, or a client just made, has not reached Maskinporten, or
// something is out of order.
func mayArrive(err error) bool {
	for _, passing := range []error{
		maskinporten.ErrUnknownKey, maskinporten.ErrUnknownClient, maskinporten.ErrUnavailable, ErrUnavailable,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// probe makes one token request with the new key, by a client that has no
// tokens yet. The admin client's own key also reads something.
func (c *Client) probe(ctx context.Context, r Rotation, key *PrivateKey) error {
	cred, err := key.Credential()
	if err != nil {
		return err
	}
	fresh, err := maskinporten.New(maskinporten.Config{
		Environment: c.admin.Environment(), ClientID: r.ClientID, Credential: cred, HTTPClient: c.http,
	})
	if err != nil {
		return err
	}
	if !c.isAdmin(r.ClientID) {
		_, err = fresh.Token(ctx, maskinporten.Request{Scope: r.Scope})
		return err
	}
	again, err := New(fresh, Options{BaseURL: c.base, HTTPClient: c.http, Logger: c.log})
	if err != nil {
		return err
	}
	_, err = again.Keys(ctx, r.ClientID)
	return err
}

// publish gives the proved key to the programs, once it is certain that it is
// still registered.
func (c *Client) publish(ctx context.Context, r Rotation, p *progress) error {
	key, err := p.private()
	if err != nil {
		return err
	}
	if _, err := c.ensureRegistered(ctx, r.ClientID, key.Public()); err != nil {
		return err
	}
	if err := r.Publish(ctx, key); err != nil {
		return fmt.Errorf("selfservice: publishing the new key of client %s: %w", r.ClientID, err)
	}
	if _, err := c.ensureRegistered(ctx, r.ClientID, key.Public()); err != nil {
		return err
	}
	p.Key, p.Published = key.PublicJWK(), time.Now()
	return nil
}

// retire waits until no program signs with the old key, and removes it.
func (c *Client) retire(ctx context.Context, r Rotation, p *progress) error {
	if p.Replaces != "" {
		pause(ctx, time.Until(p.Published.Add(r.Grace)))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("selfservice: the new key of client %s is in use; the old one is removed by the next call: %w", r.ClientID, err)
	}
	key, err := p.public()
	if err != nil {
		return err
	}
	keys, err := c.ensureRegistered(ctx, r.ClientID, key)
	if err != nil {
		return err
	}
	if kid, _, err := current(ctx, r); err != nil {
		return err
	} else if kid != "" && kid == p.Replaces {
		return fmt.Errorf("%w: what was published has not reached Rotation.Current, which still has %q", ErrOwnKey, kid)
	}
	if p.Replaces != "" && p.Replaces != p.KeyID && slices.ContainsFunc(keys, func(k Key) bool { return k.KeyID == p.Replaces }) {
		if err := c.remove(ctx, r.ClientID, p.Replaces); err != nil {
			return err
		}
	}
	return forget(ctx, r.State)
}

// goBack removes a key that was never published.
func (c *Client) goBack(ctx context.Context, r Rotation, p *progress) error {
	if err := c.remove(ctx, r.ClientID, p.KeyID); err != nil {
		return err
	}
	return forget(ctx, r.State)
}

// remove takes a key away; one that is gone already is as good.
func (c *Client) remove(ctx context.Context, clientID, kid string) (err error) {
	for range writeAttempts {
		var keys []Key
		keys, err = c.RemoveKey(ctx, clientID, kid)
		switch {
		case err == nil, errors.Is(err, ErrNotFound):
			return nil
		case !errors.Is(err, ErrChangedMeanwhile):
			return err
		case !slices.ContainsFunc(keys, func(k Key) bool { return k.KeyID == kid }):
			return nil
		}
		pause(ctx, time.Duration(rand.Int64N(int64(2*time.Second))))
	}
	return err
}

// RotateWhenDue is for a timer of yours, a CronJob or a scheduled task, once a
// day. It goes on with a rotation that was left, and begins one when the key
// has less than [Rotation.Before] to live, when its end is not known, or when
// there is none. It warns in the log of a key with less than 30, 7 and 1 days
// left. rotated reports whether there is a new key.
func (c *Client) RotateWhenDue(ctx context.Context, r Rotation) (rotated bool, err error) {
	if err := c.checkRotation(&r); err != nil {
		return false, err
	}
	p, err := load(ctx, r.State, r.ClientID)
	if err != nil {
		return false, err
	}
	if p == nil {
		due, err := c.due(ctx, r)
		if err != nil || !due {
			return false, err
		}
	}
	_, err = c.Rotate(ctx, r)
	return err == nil, err
}

func (c *Client) due(ctx context.Context, r Rotation) (bool, error) {
	kid, notAfter, err := current(ctx, r)
	if err != nil {
		return false, err
	}
	keys, err := c.Keys(ctx, r.ClientID)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(keys, func(k Key) bool { return k.KeyID == kid })
	if at < 0 {
		return true, nil
	}
	if end := keys[at].Expires; notAfter.IsZero() || !end.IsZero() && end.Before(notAfter) {
		notAfter = end
	}
	if notAfter.IsZero() {
		return true, nil
	}
	left := time.Until(notAfter)
	for _, days := range []int{1, 7, 30} {
		if left < time.Duration(days)*24*time.Hour {
			c.log.WarnContext(ctx, "selfservice: a key ends soon", "client_id", r.ClientID, "kid", kid, "not_after", notAfter, "days_left", int(left/(24*time.Hour)))
			break
		}
	}
	return left < r.Before, nil
}

// private is the new key, which is in the state until it is published.
func (p *progress) private() (*PrivateKey, error) {
	key, err := parsePrivateKey(p.Key)
	if err != nil {
		return nil, invalid("Rotation.State", "cannot be used: "+err.Error())
	}
	return key, nil
}

func (p *progress) public() (Key, error) {
	key, err := ParseKey(p.Key)
	if err != nil {
		return Key{}, invalid("Rotation.State", "cannot be used: the key in it is damaged")
	}
	return key, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
