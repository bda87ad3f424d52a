package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
)

// A template is a directory of the state directory:
//
//	templates/ID/lock       held by the program that builds it, as long as it does
//	templates/ID/meta.json  the template; without one it is being deleted
//	templates/ID/log        what the build has printed
//	templates/ID/run-*/     machines of the build
type templateMeta struct {
	Version  int                    `json:"version"`
	ID       string                 `json:"id"`
	Name     string                 `json:"name"`
	Created  time.Time              `json:"created"`
	Status   compute.TemplateStatus `json:"status"` // building or ready
	Metadata map[string]string      `json:"metadata,omitempty"`

	Layers    []string          `json:"layers,omitempty"` // IDs, lowest first
	Bare      bool              `json:"bare,omitempty"`   // this machine's programs are not below them
	Key       string            `json:"key,omitempty"`    // of its files, for the cache of builds on top of it
	Config    TemplateConfig    `json:"config,omitzero"`
	Launch    []string          `json:"launch,omitempty"`
	Code      []codeMeta        `json:"code,omitempty"`
	Resources compute.Resources `json:"resources,omitzero"`
}

const templatePrefix = "tpl-"

func (s *state) template(id string) string { return s.path("templates", id) }

func (s *state) loadTemplate(id string) (*templateMeta, error) {
	var m templateMeta
	file := filepath.Join(s.template(id), "meta.json")
	if err := load(file, &m); err != nil {
		return nil, err
	}
	return &m, sound(file, m.Version, m.ID == id)
}

func (s *state) saveTemplate(m *templateMeta) error {
	if data, err := json.Marshal(m); err != nil || len(data) > maxJSON {
		return problem{errors.Join(fmt.Errorf("all that a template says about its sandboxes is %d bytes, %d are possible", len(data), maxJSON), err)}
	}
	return save(filepath.Join(s.template(m.ID), "meta.json"), m)
}

// templates returns the IDs of all template directories.
func (s *state) templates() ([]string, error) { return names(s.path("templates"), "") }

func (m *templateMeta) template(reason string) *compute.Template {
	t := &compute.Template{ID: m.ID, Name: m.Name, Provider: name, Status: m.Status, Created: m.Created,
		Metadata: maps.Clone(m.Metadata)}
	if reason != "" {
		t.Status, t.Reason = compute.TemplateFailed, reason
	}
	return t
}

// abandoned says why a template that is being built never will be, if so.
func (p *Provider) abandoned(m *templateMeta) (string, error) {
	if m.Status != compute.TemplateBuilding {
		return "", nil
	}
	unlock, err := lockDir(p.state.template(m.ID), false, false)
	if err != nil || unlock == nil {
		return "", ignoreNotExist(err)
	}
	unlock()
	// The build may have ended between the two looks.
	now, err := p.state.loadTemplate(m.ID)
	if err != nil || now.Status != compute.TemplateBuilding {
		return "", ignoreNotExist(err)
	}
	return "the program that built it has ended", nil
}

// findTemplate finds a template by its ID, or else the newest ready one of that
// name, among those of an owner; for "" among all.
func (p *Provider) findTemplate(op, idOrName, owner string) (*templateMeta, error) {
	visible := func(m *templateMeta) bool { return owner == "" || m.Metadata[compute.OwnerKey] == owner }
	if validID(idOrName, templatePrefix) {
		m, err := p.state.loadTemplate(idOrName)
		if err == nil && visible(m) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, p.outside(op, idOrName, err)
		}
	}
	all, err := p.templateMetas(op)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.Name == idOrName && m.Status == compute.TemplateReady && visible(m) {
			return m, nil
		}
	}
	return nil, noSuch(op, "template", idOrName)
}

// templateMetas reads all templates, newest first.
func (p *Provider) templateMetas(op string) ([]*templateMeta, error) {
	ids, err := p.state.templates()
	if err != nil {
		return nil, p.outside(op, "", err)
	}
	var all []*templateMeta
	for _, id := range ids {
		m, err := p.state.loadTemplate(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // being made, or deleted
		}
		if err != nil {
			return nil, p.outside(op, id, err)
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *templateMeta) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(b.ID, a.ID))
	})
	return all, nil
}

// templateReferences finds the layers that templates and cached steps need.
func (p *Provider) templateReferences(r references) error {
	ids, err := p.state.templates()
	if err != nil {
		return err
	}
	for _, id := range ids {
		m, err := p.state.loadTemplate(id)
		if ignoreNotExist(err) != nil {
			return err
		}
		if err == nil {
			r.need(id, m.Layers)
		}
	}
	return p.stepReferences(r.use)
}

// sweepTemplates removes what programs that were killed have left of builds.
func (p *Provider) sweepTemplates(ctx context.Context) error {
	ids, err := p.state.templates()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !validID(id, templatePrefix) || p.finished(id) {
			continue
		}
		unlock, err := p.state.lockLeft(p.state.template(id))
		if err != nil || unlock == nil {
			continue // gone, or it is being built
		}
		if !p.finished(id) {
			err = p.clearTemplate(ctx, id)
		}
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) finished(id string) bool {
	m, err := p.state.loadTemplate(id)
	return err == nil && m.Status == compute.TemplateReady || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// publishTemplate makes a build one that others can see, or its end. It reports
// false if the template was deleted meanwhile.
func (p *Provider) publishTemplate(m *templateMeta) (bool, error) {
	unlock, err := lock(p.state.path("publish"), true, true)
	if err != nil {
		return false, err
	}
	defer unlock()
	if m.Created.IsZero() {
		m.Created = time.Now()
	} else if _, err := os.Stat(filepath.Join(p.state.template(m.ID), "meta.json")); err != nil {
		return false, ignoreNotExist(err)
	}
	return true, p.state.saveTemplate(m)
}
