package maskinportentest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// reply is an answer before it is sent, so that it can be logged as it is.
type reply struct {
	status int
	header http.Header
	body   string
	cut    bool // the connection breaks off in the middle of the body
	drop   bool // the connection breaks off before anything is answered
}

func jsonReply(status int, v any) *reply {
	return &reply{
		status: status,
		header: http.Header{"Content-Type": {"application/json;charset=UTF-8"}, "Cache-Control": {"no-store"}},
		body:   string(marshal(v)),
	}
}

// marshal is for values made here, which always are JSON.
func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: %v", err))
	}
	return raw
}

func (r *reply) send(w http.ResponseWriter) {
	if r.drop {
		panic(http.ErrAbortHandler)
	}
	for name, values := range r.header {
		w.Header()[name] = values
	}
	if !r.cut {
		w.WriteHeader(r.status)
		io.WriteString(w, r.body)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	w.WriteHeader(r.status)
	io.WriteString(w, r.body[:len(r.body)/2])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func writeJSON(w http.ResponseWriter, status int, v any) { jsonReply(status, v).send(w) }

func onlyGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}
