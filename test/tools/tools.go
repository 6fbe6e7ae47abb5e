//go:build tools

// Package tools keeps what test/tools/build builds among the module's requirements.
package tools

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "helm.sh/helm/v3/cmd/helm"
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
	// critest is the test binary of sigs.k8s.io/cri-tools/cmd/critest, which has no code outside its tests: its imports
	// stand here.
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
)
