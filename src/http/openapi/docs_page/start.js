SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // Nothing is sent to a validator elsewhere, and no token outlives the page.
  validatorUrl: null,
  persistAuthorization: false,
});
