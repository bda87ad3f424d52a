// Package compute runs code in sandboxes, whoever provides them.
package compute
