// What Go itself makes of the templates in go_answers.jsonl: go run go_answers.go < cases.jsonl
// Each line {"template","system","messages"} comes back with "output", null where Go refuses the template.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"text/template"
)

type message struct{ Role, Content string }

type line struct {
	Template string    `json:"template"`
	System   string    `json:"system"`
	Messages []message `json:"messages"`
	Output   *string   `json:"output"`
}

func output(l line) *string {
	var written bytes.Buffer
	parsed, err := template.New("").Option("missingkey=zero").Parse(l.Template)
	if err == nil {
		values := map[string]any{"System": l.System, "Messages": l.Messages, "Response": ""}
		err = parsed.Execute(&written, values)
	}
	if err != nil {
		return nil
	}
	text := written.String()
	return &text
}

func main() {
	lines, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	for {
		var l line
		if lines.Decode(&l) != nil {
			return
		}
		l.Output = output(l)
		answers.Encode(l)
	}
}
