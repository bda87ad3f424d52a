package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

const (
	sessionCookie   = "session"
	sessionLifetime = 12 * time.Hour
	maxSessions     = 10_000
)

// sessions are who has signed in. They are in memory: a restart signs out.
type sessions struct {
	passwords map[string][sha256.Size]byte // by user; of random passwords, a hash is enough
	secure    bool                         // served over HTTPS

	mu   sync.Mutex
	byID map[[sha256.Size]byte]session
}

type session struct {
	user    string
	expires time.Time
}

func newSessions(users map[string]string, secure bool) *sessions {
	s := &sessions{passwords: map[string][sha256.Size]byte{}, secure: secure, byID: map[[sha256.Size]byte]session{}}
	for user, password := range users {
		s.passwords[user] = sha256.Sum256([]byte(password))
	}
	return s
}

// login starts a session under a new ID, whatever cookie came along.
func (s *sessions) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	user := r.PostFormValue("user")
	given := sha256.Sum256([]byte(r.PostFormValue("password")))
	want, known := s.passwords[user]
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 || !known {
		http.Error(w, "wrong user or password", http.StatusUnauthorized)
		return
	}
	id := rand.Text()
	if !s.add(id, user) {
		http.Error(w, "too many sessions", http.StatusServiceUnavailable)
		return
	}
	s.setCookie(w, id, int(sessionLifetime.Seconds()))
	w.WriteHeader(http.StatusNoContent)
}

func (s *sessions) add(id, user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for key, old := range s.byID {
		if now.After(old.expires) {
			delete(s.byID, key)
		}
	}
	if len(s.byID) >= maxSessions {
		return false
	}
	s.byID[sha256.Sum256([]byte(id))] = session{user, now.Add(sessionLifetime)}
	return true
}

func (s *sessions) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		delete(s.byID, sha256.Sum256([]byte(c.Value)))
		s.mu.Unlock()
	}
	s.setCookie(w, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

func (s *sessions) setCookie(w http.ResponseWriter, id string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode})
}

// user is whose session r belongs to; "" is nobody's.
func (s *sessions) user(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.byID[sha256.Sum256([]byte(c.Value))]; ok && time.Now().Before(found.expires) {
		return found.user
	}
	return ""
}
