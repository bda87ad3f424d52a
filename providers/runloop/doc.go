// Package runloop runs sandboxes as devboxes of Runloop.
package runloop
