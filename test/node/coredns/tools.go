//go:build tools

// Package coredns keeps CoreDNS among the module's requirements.
package coredns

import _ "github.com/coredns/coredns"
