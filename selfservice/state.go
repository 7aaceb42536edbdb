package selfservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// State keeps what a rotation has done, so that after a crash the next one
// goes on where it was. What it holds is secret: until the new key has been
// published, it holds that.
type State interface {
	// Load returns what was saved last; nothing and no error if there is nothing.
	Load(ctx context.Context) ([]byte, error)

	// Save replaces what is kept. It must last once Save has returned. Empty
	// data means that nothing is kept any longer.
	Save(ctx context.Context, data []byte) error
}

// FileState keeps the state of a rotation in a file that only its owner may
// read (0600). The file is there only while a rotation is under way. Put it
// beside the key file, where the next run finds it.
func FileState(path string) State { return fileState(path) }

type fileState string

func (f fileState) Load(context.Context) ([]byte, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (f fileState) Save(_ context.Context, data []byte) error {
	if len(data) > 0 {
		return writeFile(string(f), data)
	}
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile replaces a file so that a reader finds the old or the new one
// whole, also after a crash.
func writeFile(path string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails once it has its name
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		folder.Sync() // the name must last too; not every system can
		folder.Close()
	}
	return nil
}

// step is how far a rotation has come.
type step string

const (
	stepCreated    step = "created"    // the new key exists, in the state only
	stepRegistered step = "registered" // it is on the client, and seen there
	stepProved     step = "proved"     // Maskinporten has taken it
	stepPublished  step = "published"  // the programs have it
)

// progress is what is saved of a rotation.
type progress struct {
	ClientID  string          `json:"client_id"`
	Step      step            `json:"step"`
	KeyID     string          `json:"kid"`
	Replaces  string          `json:"replaces,omitempty"` // kid of the key before
	Key       json.RawMessage `json:"key"`                // private until published, then public
	Began     time.Time       `json:"began"`
	Published time.Time       `json:"published,omitzero"`
}

// mayBeInUse reports whether programs may have the new key already: a crash
// can come after Publish, and before that is saved.
func (p *progress) mayBeInUse() bool { return p.Step == stepProved || p.Step == stepPublished }

// valid reports whether p is what a rotation saves. One that only looks like it
// could take away the old key with no new one in its place.
func (p *progress) valid() bool {
	var key struct {
		KeyID string `json:"kid"`
	}
	if json.Unmarshal(p.Key, &key) != nil || key.KeyID == "" || key.KeyID != p.KeyID {
		return false
	}
	switch p.Step {
	case stepCreated, stepRegistered, stepProved:
		return true
	case stepPublished:
		return !p.Published.IsZero()
	}
	return false
}

// load returns what is under way, or nil.
func load(ctx context.Context, s State, clientID string) (*progress, error) {
	data, err := s.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("selfservice: reading the state of the rotation: %w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	p := new(progress)
	if json.Unmarshal(data, p) != nil || !p.valid() {
		return nil, invalid("Rotation.State", "holds something else than a rotation: see whether it is the right one, then remove it")
	}
	if p.ClientID != clientID {
		return nil, invalid("Rotation.State", "is that of another client's rotation: give each client a state of its own")
	}
	return p, nil
}

func (p *progress) save(ctx context.Context, s State) error {
	data, err := json.Marshal(p)
	if err == nil {
		err = s.Save(ctx, data)
	}
	if err != nil {
		return fmt.Errorf("selfservice: saving the state of the rotation: %w", err)
	}
	return nil
}

// forget ends a rotation.
func forget(ctx context.Context, s State) error {
	if err := s.Save(ctx, nil); err != nil {
		return fmt.Errorf("selfservice: removing the state of the rotation: %w", err)
	}
	return nil
}
