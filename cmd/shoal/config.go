package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/jobs/config"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "What shoal.yaml may say: schema, reference, effective values",
	}
	c.AddCommand(&cobra.Command{
		Use: "schema", Short: "The JSON Schema of shoal.yaml, for editors", Example: "  shoal config schema > shoal.schema.json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	}, &cobra.Command{
		Use: "reference", Short: "Every key of shoal.yaml as the page docs/configuration.md", Example: "  shoal config reference", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Reference())
			return err
		},
	}, &cobra.Command{
		Use: "show FILE", Short: "The effective configuration of a file, every default written out", Example: "  shoal config show sample/shoal.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(args[0], "", "", "")
			if err != nil {
				return err
			}
			b, err := cfg.Effective()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
			return err
		},
	})
	return c
}
